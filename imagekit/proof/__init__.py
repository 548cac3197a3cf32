"""The proof from outside: starts the smoke program in an image, looks at what only an engine sees, keeps evidence."""
