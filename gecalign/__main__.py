"""Run the command line as `python -m gecalign`."""

from gecalign.cli import main

main()
