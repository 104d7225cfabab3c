"""`python -m rlgan.launch` is the command `rlgan`, where no script is installed, as in a job of a cluster."""

import sys

from rlgan.launch.main import main

sys.exit(main())
