"""The CPU engine: an OpenVINO graph built directly from a checkpoint's weights, without torch.

runtime (quiet import) < arithmetic < int8 < blocks < bert, xlm_roberta < engine; compilation
stands beside blocks.
"""
