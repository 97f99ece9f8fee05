"""The parts of bench/compare.py and bench/report.py."""
