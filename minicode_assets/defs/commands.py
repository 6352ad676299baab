"""Prints the arguments of `dagster asset materialize` that make the whole graph, one line a call, in order.

That command takes one kind of partition at a time, so the graph needs several calls: `make dagster-run` runs them.
"""

import sys

from minicode_assets.config import Config
from minicode_assets.defs.driver import layers
from minicode_assets.defs.settings import from_environment
from minicode_assets.defs.stage import PARTITIONED
from minicode_assets.layout import partition_keys


def command_arguments(config: Config, groups: list[list[str]]) -> list[str]:
    """One argument string a call.

    Args:
        config: Gives the partition keys.
        groups: Assets that can share a run, in order.
    """
    lines = []
    for group in groups:
        keys = partition_keys(config.partitions.num_prefixes) if group[0] in PARTITIONED else [""]
        select = f"--select {','.join(group)}"
        lines += [f"{select} --partition {key}" if key else select for key in keys]
    return lines


if __name__ == "__main__":
    from minicode_assets.definitions import defs

    graph = defs.resolve_implicit_global_asset_job_def().asset_layer.asset_graph
    sys.stdout.write("\n".join(command_arguments(from_environment().config, layers(graph))) + "\n")
