"""rerankd on Ray Serve; only `replica` imports Ray."""
