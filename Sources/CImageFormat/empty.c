// The image format is headers only.
