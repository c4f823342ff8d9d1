class StreamError_Closed:
    pass


class StreamError_LastOperationFailed:
    pass
