"""`make docs`."""

from ops import documents

if __name__ == "__main__":
    for path, text in documents.render_all().items():
        path.write_text(text)
