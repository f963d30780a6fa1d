import AnnexWire

/// The bytes that a reply must have, written as words. The notation knows what both protocols make of a kind, as the RESP
/// specification says it; everything else stands for itself.
///
/// | word | RESP2 | RESP3 |
/// |---|---|---|
/// | `'text'` | bulk string | bulk string |
/// | `(1.5)` | bulk string | double |
/// | `nil` · `nil*` | null bulk · null array | null |
/// | `#t` `#f` | 1, 0 | boolean |
/// | `%2` | array of 4 | map of 2 |
/// | `~2` | array of 2 | set of 2 |
/// | `` `text` `` | bulk string | verbatim string |
///
/// `'~part'` and `` `~part` `` are strings that contain the part, `:<n>` is any integer, `<rest>` is whatever else the reply holds.
/// `-CODE part` is an error of that code whose text contains the part; the part may have blanks. An empty pattern: no reply.
struct ReplyPattern {
    enum Element {
        case line(String)
        case containing(header: Character, prefix: String, part: String)
        case anyInteger
        case rest
    }

    let elements: [Element]
    /// Code and part of an error.
    let failure: (code: String, part: String)?
    var isEmpty: Bool { self.elements.isEmpty && self.failure == nil }

    init(_ text: String, _ version: RESPVersion) {
        if text.hasPrefix("-") {
            let words = text.dropFirst().split(separator: " ", maxSplits: 1)
            self.failure = (String(words[0]), words.count > 1 ? Bytes.text(words[1].utf8) : "")
            self.elements = []
            return
        }
        self.failure = nil
        self.elements = Self.words(text).flatMap { Self.elements(of: $0, isThree: version == .three) }
    }

    /// Blanks separate, but not within `'…'` and `` `…` ``.
    private static func words(_ text: String) -> [String] {
        var words: [String] = []
        var word = ""
        var quote: Character?
        for character in text {
            if let end = quote {
                word.append(character)
                if character == end { quote = nil }
            } else if character == " " || character == "\n" {
                if !word.isEmpty { words.append(word) }
                word = ""
            } else {
                if word.isEmpty, character == "'" || character == "`" { quote = character }
                word.append(character)
            }
        }
        return word.isEmpty ? words : words + [word]
    }

    private static func elements(of word: String, isThree: Bool) -> [Element] {
        let inner = String(word.dropFirst().dropLast())
        switch word.first {
        case "'":
            guard inner.hasPrefix("~") else { return Self.bulk(inner) }
            return [.containing(header: "$", prefix: "", part: Bytes.unescaped(String(inner.dropFirst())))]
        case "`":
            let prefix = isThree ? "txt:" : ""
            if inner.hasPrefix("~") {
                let part = Bytes.unescaped(String(inner.dropFirst()))
                return [.containing(header: isThree ? "=" : "$", prefix: prefix, part: part)]
            }
            let text = prefix + Bytes.unescaped(inner)
            return [.line("\(isThree ? "=" : "$")\(text.unicodeScalars.count)"), .line(text)]
        case "(": return isThree ? [.line("," + inner)] : Self.bulk(inner)
        case "#": return [.line(isThree ? word : word == "#t" ? ":1" : ":0")]
        case "%": return [.line(isThree ? word : "*\((Int(word.dropFirst()) ?? 0) * 2)")]
        case "~": return [.line(isThree ? word : "*\(word.dropFirst())")]
        default: break
        }
        switch word {
        case "nil": return [.line(isThree ? "_" : "$-1")]
        case "nil*": return [.line(isThree ? "_" : "*-1")]
        case ":<n>": return [.anyInteger]
        case "<rest>": return [.rest]
        default: return [.line(word)]
        }
    }

    private static func bulk(_ text: String) -> [Element] {
        let text = Bytes.unescaped(text)
        return [.line("$\(text.unicodeScalars.count)"), .line(text)]
    }

    /// Whether a reply, as its lines, is as written.
    func matches(_ lines: [String]) -> Bool {
        if let failure {
            return lines.count == 1 && lines[0].hasPrefix("-\(failure.code) ") && lines[0].contains(failure.part)
        }
        var next = lines[...]
        for element in self.elements {
            switch element {
            case .rest: return true
            case .line(let text): guard next.popFirst() == text else { return false }
            case .anyInteger:
                guard let line = next.popFirst(), line.hasPrefix(":"), Int(line.dropFirst()) != nil else {
                    return false
                }
            case .containing(let header, let prefix, let part):
                guard let line = next.popFirst(), line.first == header, let text = next.popFirst(),
                    line.dropFirst() == "\(text.unicodeScalars.count)", text.hasPrefix(prefix), text.contains(part)
                else { return false }
            }
        }
        return next.isEmpty
    }
}

/// Bytes in text: each byte is the character of its number, so that blobs can be written and compared as well.
enum Bytes {
    static func text(_ bytes: some Sequence<UInt8>) -> String {
        String(String.UnicodeScalarView(bytes.map { Unicode.Scalar($0) }))
    }

    static func of(_ text: String) -> [UInt8] { text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) } }

    /// `\xNN`, `\r` and `\n` are bytes.
    static func unescaped(_ word: String) -> String {
        var text = Self.text(word.utf8).replacing("\\r", with: "\r").replacing("\\n", with: "\n")
        while let range = text.firstRange(of: "\\x") {
            let end = text.index(range.upperBound, offsetBy: 2)
            let byte = UInt8(text[range.upperBound..<end], radix: 16) ?? 0
            text.replaceSubrange(range.lowerBound..<end, with: Self.text([byte]))
        }
        return text
    }
}
