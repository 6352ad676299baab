"""Prints the arguments of `dagster asset materialize` that make the whole graph, one line a call, in order.

That command takes one kind of partition at a time, so the graph needs several calls: `make dagster-run` runs them.
"""

import sys
from typing import Any

from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph

from minicode_assets.defs.driver import keys_in, layers


def command_arguments(graph: BaseAssetGraph[Any]) -> list[str]:
    """One argument string a call, in order.

    Args:
        graph: The assets.
    """
    lines = []
    for group in layers(graph):
        select = f"--select {','.join(group)}"
        lines += [f"{select} --partition {key}" if key else select for key in keys_in(graph, group[0]) or ("",)]
    return lines


if __name__ == "__main__":
    from minicode_assets.definitions import defs

    graph = defs.resolve_implicit_global_asset_job_def().asset_layer.asset_graph
    sys.stdout.write("\n".join(command_arguments(graph)) + "\n")
