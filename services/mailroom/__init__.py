"""
The support mailbox. Each mail is passed on to the people of support as it came, but for one kind: an authentic mail
from an account's own address with the subject "account exclusion" is handed to accounts, which mails a link there.

It deletes nothing, answers no mail, keeps none (a mail is taken only once whoever gets it has it), and tells nobody
whether an address is an account's. It owns no data, tells and hears no events.
"""
