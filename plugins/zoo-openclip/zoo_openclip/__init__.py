"""open_clip's towers as encoders of clip-zoo."""
