"""What builds, holds and runs images. Only this room knows docker."""
