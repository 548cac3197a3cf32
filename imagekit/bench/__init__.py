"""How fast an image is: programs that run inside it. (The project's own speed is measured in bench/.)"""
