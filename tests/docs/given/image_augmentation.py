"""Two pictures and the digests of their content."""

from PIL import Image

pictures = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
keys = ["first", "second"]
