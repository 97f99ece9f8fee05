"""The CPU engine: an OpenVINO graph built directly from a checkpoint's weights, without torch.

runtime (quiet import) < int8 < blocks < bert, xlm_roberta < engine.
"""
