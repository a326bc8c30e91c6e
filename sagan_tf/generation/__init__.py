"""Image generation: latents and labels, networks in inference mode and their attention maps."""
