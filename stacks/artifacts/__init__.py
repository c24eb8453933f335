"""What must exist before the platform: the bucket that the deployer uploads to, and the roles that deploy.

stack.py                 the template
bucket.py                the bucket, its policy, and its access logs
permissions_boundary.py  the most that any role of the platform may do
deployers/               the roles that deploy
"""
