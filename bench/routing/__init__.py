"""The parts of bench/routes.py: an upstream, proxies before it, clients."""
