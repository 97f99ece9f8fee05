"""The torch engine (`rerankd[torch]`): a GPU, or any device that torch knows; no transformers.

plan (pure) < device < attention < layers < bert, modernbert, qwen < engine. Importing plan, or this
package, does not import torch.
"""
