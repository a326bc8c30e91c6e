"""Images from latents and labels: random inputs, networks in inference mode, and what their attention looks at."""
