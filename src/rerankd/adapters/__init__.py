"""rerankd inside programs that start and place servers themselves."""
