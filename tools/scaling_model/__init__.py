"""What `tools/scaling.py` is made of: the formulae of docs/scaling.md, one idea a file."""
