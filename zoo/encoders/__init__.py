"""Encoders: pretrained networks from torchvision, timm and transformers behind one contract."""
