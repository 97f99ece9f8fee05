"""The files of rerankd-multi, in `model/`. Data only: rerankd reads and runs them."""
