"""The Dagster edge. Nothing outside this folder and definitions.py imports dagster.

settings   what the environment chooses: preset, overrides, data folder
resources  the same, changeable in a run's configuration
stage      how a library function becomes an asset with checks and metadata
pictures   plots and previews for the web UI
archive tables manifest blobs corpus tokens model     one file a group, in flow order
instance   dagster_home: its initialisation, runs that were killed
driver     the whole graph in one process, without a daemon
"""
