"""Image-text datasets and the pictures in them."""
