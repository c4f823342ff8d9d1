class exports:
    class IncomingHandler:
        pass
