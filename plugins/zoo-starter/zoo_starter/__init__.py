"""Small pretrained encoders whose weights come from pip."""
