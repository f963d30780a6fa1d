/// Finds words of word2vec's binary format that go on behind their first blank.
///
/// Such a row reads as a shorter word and a vector that begins too early, with text in its first bytes and exponents out of
/// the middle of numbers. So where text and a blank follow the blank, both readings are compared: the one whose components
/// are of the size of the row before has it right. Some 0.6 % of good rows begin with bytes that could be text.
struct HiddenWord {
    let dimension: Int
    /// Holds the median binary exponent of the row before. It is nil before the first one.
    private var usualExponent: Int?

    /// The word may go on for so many bytes.
    static let reach = 256
    /// Components of an embedding differ by so many powers of two; others are counted.
    private static let spread = 20

    init(dimension: Int) { self.dimension = dimension }

    /// Tells whether the bytes behind a row's first blank may be text up to another blank. O(reach).
    static func isPossible(_ bytes: [UInt8]) -> Bool { !Self.ends(bytes).isEmpty }

    /// Returns the rest of the word behind its first blank; nil where it ends there. O(dimension × blanks in the text).
    ///
    /// - Parameter bytes: behind the first blank, as many as there are up to those of a vector and `reach`.
    func text(_ bytes: [UInt8]) -> [UInt8]? {
        let ends = Self.ends(bytes).filter { $0 + self.dimension * 4 <= bytes.count }
        var best: (end: Int, odd: Int)?
        for end in ends {
            let odd = self.odd(self.exponents(bytes, end))
            guard odd < self.odd(self.exponents(bytes, 0)), odd < best?.odd ?? .max else { continue }
            best = (end, odd)
        }
        return best.map { Array(bytes[..<($0.end - 1)]) }
    }

    /// Takes note of a good row.
    mutating func note(_ row: ArraySlice<Float>) {
        self.usualExponent = Self.median(row.filter { $0 != 0 && $0.isFinite }.map { Int($0.exponent) })
    }

    /// Returns the offsets at which a vector could begin: behind each blank as long as what is in front of it is text.
    private static func ends(_ bytes: [UInt8]) -> [Int] {
        let text = bytes.prefix(Self.reach).prefix { $0 >= 0x20 && $0 != 0x7f }
        return text.indices.filter { index in
            text[index] == 0x20 && String(validating: text[..<index], as: UTF8.self) != nil
        }
        .map { $0 + 1 }
    }

    /// Returns the exponents of the components that are not 0, where the vector begins at `start`; 128 for one that is
    /// not finite.
    private func exponents(_ bytes: [UInt8], _ start: Int) -> [Int] {
        (0..<self.dimension).compactMap { component in
            let offset = start + component * 4
            let bits = bytes[offset..<offset + 4].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            let value = Float(bitPattern: bits)
            return value == 0 ? nil : value.isFinite ? Int(value.exponent) : 128
        }
    }

    /// Returns how many are far from the usual one; in the first row, from each other.
    private func odd(_ exponents: [Int]) -> Int {
        guard let usual = self.usualExponent ?? Self.median(exponents) else { return 0 }
        return exponents.count { abs($0 - usual) > Self.spread }
    }

    private static func median(_ exponents: [Int]) -> Int? {
        exponents.isEmpty ? nil : exponents.sorted()[exponents.count / 2]
    }
}
