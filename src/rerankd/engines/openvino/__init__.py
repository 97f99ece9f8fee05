"""The CPU engine: an OpenVINO graph built directly from a checkpoint's weights, without torch.

runtime (quiet import) < encoder (shapes) < blocks < bert, xlm_roberta < engine.
"""
