"""The parts of bench/hold.py."""
