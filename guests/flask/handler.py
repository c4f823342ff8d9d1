"""What makes a component of app.py."""

from wasgun_wsgi import handler

from app import app

IncomingHandler = handler(app, warm=["/", "/headers", "/query?name=x"])
