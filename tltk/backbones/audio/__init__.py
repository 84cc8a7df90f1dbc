"""Backbones of sounds: image networks on log-mel pictures, and a speaker encoder."""
