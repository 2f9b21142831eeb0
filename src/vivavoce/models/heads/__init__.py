"""Liveness heads: voice frames and echo frames in, liveness logits of frames and utterances out."""
