"""Face fusion on the CPU: the look of one portrait, put on the face of another.

Here belongs everything about pictures and faces (finding, measuring, warping, blending) and the small HTTP
service around it. Nothing here knows of Tidegate: the service is an ordinary program that reads `PORT`, answers
HTTP and stops on SIGTERM, which is all a service has to do to be run by it.
"""
