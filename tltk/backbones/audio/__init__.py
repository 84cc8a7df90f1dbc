"""Backbones of sounds: image networks on log-mel pictures, a speaker encoder, and encoders of speech recognizers."""
