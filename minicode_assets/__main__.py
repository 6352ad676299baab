"""`python -m minicode_assets` is `minicode`."""

import sys

from minicode_assets.cli import main

sys.exit(main())
