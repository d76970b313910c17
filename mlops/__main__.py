"""`python -m infra`: the command mlops-infra."""

import sys

from mlops.cli import main

if __name__ == "__main__":
    sys.exit(main())
