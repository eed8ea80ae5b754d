"""The words and keyboard walks that common passwords are made of, in lower case."""

WORDS = frozenset(
    """
    0123456789 1234567890 123456789 12345678 1234567 123456 12345 1234 9876543210 987654321 87654321 654321 54321
    000000 111111 112233 11223344 121212 123123 123321 123654 131313 147258369 159357 159753 222222 232323 258456
    333333 444444 555555 666666 696969 741852963 777777 789456123 789456 888888 999999
    1q2w3e4r5t6y7u8i9o0p 1q2w3e4r5t6y 1q2w3e4r5t 1q2w3e4r 1q2w3e 1qaz2wsx3edc4rfv5tgb 1qaz2wsx3edc4rfv 1qaz2wsx3edc
    1qaz2wsx 1qaz zaq12wsx zaq1 q1w2e3r4t5y6 q1w2e3r4t5 q1w2e3r4 q1w2e3 qazwsxedcrfvtgb qazwsxedcrfv qazwsxedc qazwsx
    qwertyuiop qwertyuio qwertyui qwertyu qwerty qwert qwer qwertz azerty asdfghjkl asdfghjk asdfghj asdfgh asdfg asdf
    zxcvbnm zxcvbn zxcvb zxcv poiuytrewq lkjhgfdsa mnbvcxz ytrewq
    abcdefghijklmnopqrstuvwxyz abcdefghijklmnop abcdefghij abcdefgh abcdef abcde abcd abc123 abc aaaaaa
    a1b2c3d4 a1b2c3
    access account admin administrator amanda andrea andrew angel angels anthony apple ashley august austin autumn
    babygirl bailey banana baseball basketball batman beautiful blink182 buster butterfly
    changeme changeit charlie cheese chelsea chocolate computer cookie correcthorsebatterystaple corvette
    daniel december default diamond donald dragon elephant everything february flower football forever freedom friday
    friend friends fuckyou fuckoff gateway george ginger google guest hannah harley heather hello hockey hunter
    iloveu iloveyou internet jackson january jasmine jennifer jessica jordan jordan23 joshua justin
    killer letmein linkedin liverpool login lovely loveme maggie manager manchester marina martin master matrix
    matthew merlin michael michelle mickey minecraft monday money monkey mother mustang mypassword
    naruto nicole nintendo november october oliver orange
    p4ssw0rd p455w0rd p@ssw0rd p@ssword pa$$w0rd pa$$word passw0rd password1 passwords password passwort
    passphrase pass
    pepper phoenix pokemon princess private purple qwerty123 rainbow ranger robert rockyou root samantha samsung
    saturday secret security september shadow silver snoopy soccer spiderman spring starwars summer sunday sunshine
    superman superstar system taylor temporary testing test thomas thursday tigger trustno1 tuesday twitter
    user victoria wednesday welcome whatever william winter yankees yellow zaq!2wsx
    2019 2020 2021 2022 2023 2024 2025 2026 2027 2028 love baby
    """.split()  # noqa: SIM905  # a quoted list of these would be three pages
)
