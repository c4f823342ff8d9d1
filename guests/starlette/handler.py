"""What makes a component of app.py."""

from wasgun_asgi import handler  # isort: skip

from app import app

Handler = handler(app, warm=["/", "/headers", "/query?name=x"])
