"""Pretrained models by name: those of timm, of torchvision, and of the Hugging Face Hub by transformers."""
