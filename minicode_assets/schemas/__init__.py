"""The schema of every table artefact: columns with type, unit and meaning; unique key; row order.

One module a group, in flow order; a schema is imported from here.
"""

from minicode_assets.schemas.annotations import *
from minicode_assets.schemas.blobs import *
from minicode_assets.schemas.corpus import *
from minicode_assets.schemas.licenses import *
from minicode_assets.schemas.manifest import *
from minicode_assets.schemas.sources import *
from minicode_assets.schemas.table import *
from minicode_assets.schemas.tables import *
from minicode_assets.schemas.tokens import *
