"""Network shapes: no losses, no latents' meaning."""
