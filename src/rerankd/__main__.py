"""`python -m rerankd`."""

from rerankd.cli import main

main()
