"""The words that names of folders and files are made of: of good and bad, of splits, of what programs draw."""

import re


def _these(words: str) -> frozenset[str]:
    return frozenset(words.split())


GOOD_WORDS = _these(
    "good goods goodparts ok oks okay okparts flawless faultless defectless defectfree gut gute guten guter gutes "
    "gutteil gutteile bon bons bonne bonnes bueno buenos buena buenas buono buoni buona buone goed goede dobry dobre "
    "dobra dobrý dobré годный годные годен godkänd godkendt godkjent hyvä hyvät ehjä dobrá добрі хорошие хороший "
    "sağlam saglam kusursuz hatasız hibátlan tốt đạt bagus جيد سليم תקין अच्छा ดี καλό καλά 良 良品 良好 优良 合格 "
    "合格品 正品 好 好品 好的 好件 无缺陷 無缺陷 无瑕疵 양품 합격 합격품"
)
GOOD_ALONE = _these(
    "normal normals io pass passed healthy intact conforming conform conforme conformes accepted acceptable correct "
    "usable accept nominal clean perfect golden reference references referenz aprobado aprobados aprobadas aprovado "
    "aprovados aprovadas god gode bra bom boa boas iyi jó apto aptos idoneo idonei conformi zgodne zgodny go норма "
    "正常 正常品 정상 정상품"
)
"""Words that say good only where nothing else is in the name: "normal parts", but not "normal light"."""
BAD_WORDS = _these(
    "bad bads badparts ng ngs ngparts nok noks nokparts nio ko poor fail fails failed failing failure failures scrap "
    "scrapped rework unusable incorrect def defs "
    "fehlteil fehlteile nacharbeit défaut défauts defaut defauts rebut rebuts malo malos malas scarto scarti defeito "
    "defeitos slecht slechte afkeur zły złe zła wady niezgodne niezgodny zmetek zmetky плохие плохой "
    "dålig dåliga dårlig dårlige avvist kasseret viallinen vialliset kötü hatalı hatali "
    "kusurlu bozuk hibás selejt rossz ruim ruins lỗi hỏng cacat rusak معيب تالف פגום खराब เสีย ελαττωματικό κακό "
    "非良品 残次品 不良 不良品 坏 坏的 坏件 坏品 废品 报废 有缺陷 有瑕疵 否 不具合 "
    "不合格 不合格品 缺陷 次品 瑕疵 异常 异常品 異常 異常品 欠陥 불량 불량품 불합격 불합격품"
)
GOOD_STEMS = tuple(_these("fehlerfrei fehlerlos einwandfrei mangelfrei makellos defektfrei goedgekeur godkän"))
BAD_STEMS = tuple(
    _these(
        "defect anomal abnormal fault reject rechaz nonconform unhealthy unaccept fehler schlecht defekt mangel mängel "
        "ausschu kaputt mauvais défect difett cattiv defeituos reprovad afgekeur wadliw vadn špatn брак дефект негодн "
        "underkän huono"
    )
)
FLAW_WORDS = _these(
    "broken bent torn burr burrs crack cracks cracked dent dents dented stain stains stained dirty rust rusty chipped "
    "flaw flaws flawed missing misplaced wrong error errors outlier outliers hole holes pinhole pinholes blowhole "
    "blowholes porosity blister blisters riss risse delle dellen lunker poren grat bruch beule beulen einschluss "
    "einschlüsse verunreinigung verunreinigungen fehlend fehlende rayure rayures fissure fissures cassé grieta "
    "grietas rotura mancha manchas graffio graffi crepa falsch rotten crazing inclusion inclusions pitted pitting "
    "spalling misprint misaligned worn 划痕 划伤 裂纹 凹痕 污渍 脏污 破损 气泡 毛刺 变形 傷 キズ 汚れ 欠け 割れ 打痕 "
    "스크래치 크랙 찍힘 이물"
)
FLAW_STEMS = tuple(
    _these(
        "scratch damag contaminat corros corrod deform malform fractur discolo delamin kratz zerkratz gerissen "
        "verbogen gebrochen verschmutz beschädigt beschaedigt"
    )
)
DRAWN = _these(
    "heatmap heatmaps maps overlay overlays pred preds prediction predictions result results output outputs preview "
    "previews thumb thumbs thumbnail thumbnails annotated detected detection detections gradcam saliency recon "
    "reconstructed reconstruction reconstructions residual residuals report reports screenshot screenshots figures "
    "vis viz visualisation visualization visualizations"
)
VIEWS = _these("depth depths disparity infrared ir nir normals pcd pointcloud thermal xyz")
MAP = re.compile(r"(?:anomaly|depth|heat|normals?|score)[ _.-]*maps?(?![a-z])", re.IGNORECASE)
PLACES = _these("roi rois aoi ignore ignored mask maske masque máscara maschera маска 掩码 掩膜 マスク")
"""Alone they name a mask of where to look, of all photos beside it."""
UNSAID = DRAWN | _these(
    "unlabelled unlabeled unsorted unknown unclassified uncertain unclear unsure sure maybe doubtful questionable "
    "unsortiert ungeprüft gesperrt unbekannt unklar unsicher sicher vielleicht fraglich zweifelhaft borderline "
    "ambiguous grenzwertig grenzfall grenzfälle douteux dudoso dudosos incerto incerti seguro sicuro sûr misc temp "
    "tmp to check unchecked todo pending quarantine review raw inbox new neu neuer nouveau nueva nuova nova nieuwe "
    "nowy ny новая untitled unbenannter 新建文件夹 新しいフォルダー 새 all alle original originals orig source "
    "sources backup archive archiv sicherung old alt copy kopie cropped resized augmented aug processed preprocessed "
    "converted grayscale calibration kalibrierung setup grenzmuster limit à trier zu prüfen clasificar 未分类 未检 "
    "待检 待判 待定 不明 要確認 未確認 미분류 미확인 보류"
)
"""Of what nobody has looked at yet, what all were sorted from, and what programs drew: no kinds of defects."""
FALSE_ALARM = re.compile(
    r"false[ _-]?(?:alarm|positive|reject|call)s?(?![a-z])|overkill|(?:pseudo|schein)fehler|fehlalarm|过杀|误判|误报",
    re.IGNORECASE,
)
EITHER = frozenset({"positive", "positives", "negative", "negatives", "pos", "neg"})
"""The one is good and the other bad, and which one depends on whom one asks."""
CLASS = frozenset({"class", "label", "target"})
ALSO_OF_FILES = frozenset({"broken", "missing", "wrong", "error", "errors"})
"""What a file's name may say of the file: "broken.png" is one that cannot be read."""
NOT = _these("n no non not un nicht kein keine ohne sans without sin senza sem zonder bez nie не без không")

NEUTRAL = _these(
    "bild bilder bmp carpeta cartella class classes data dataset dir dirs dossier file files folder folders foto "
    "fotos image images imgs img item items jpeg jpg mapp mappe object objects only ordner part parts photo photos "
    "picture pictures piece pieces png pngs product products sample samples set sets tif tiff teile unit units video "
    "videos visualization jpegimages pasta папка 폴더 pièce pièces pieza piezas pezzi peças delen części детали bilde "
    "图片 图像 照片 样本 样品 画像 零件 产品 製品 部品 이미지"
)
WHERE_OR_WHEN = _these(
    "cam cams camera cameras kamera kameras line lines linie linien station stations batch batches charge chargen lot "
    "lots day days tag week woche shift schicht monday tuesday wednesday thursday friday saturday sunday montag "
    "dienstag mittwoch donnerstag freitag samstag sonntag"
)
TRAIN = _these(
    "train training trainset trainingset trainingsdaten entrenamiento treinamento addestramento entraînement "
    "entrainement apprentissage обучение 训练 训练集 訓練 学習"
)
TEST = _these(
    "test testing tests eval evaluation testset testdaten prueba pruebas teste testes тест 测试 测试集 テスト"
)
VALIDATION = _these("val valid validation dev validierung validación validazione 验证 验证集 検証")
DIGITS_OF_DATE = 6
OF_SPLITS = frozenset({"public", "private", "mixed", "split"})
PICTURES = _these("image images img photo photos picture pictures pic rgb color colour visible orig original")
