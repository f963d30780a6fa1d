import AnnexCore
import AnnexFormats
import AnnexTestSupport
import Testing

/// Numbers of a text come out with the bits that strtof gives.
@Suite struct DecimalTests {
    /// One number as text.
    static func spelling(_ round: Int, _ random: inout SeededRandom) -> String {
        let bits = UInt32(truncatingIfNeeded: random.next())
        let any = Float(bitPattern: bits)
        let factor = random.normal() / 8
        switch round % 8 {
        case 0: return any.isFinite ? "\(any)" : "1"
        case 1: return "\(Double(factor))"
        case 2: return "\(factor)"
        case 3:
            // The middle of two float32, and its neighbours among float64.
            let middle = (Double(factor) + Double(factor.nextUp)) / 2
            return "\([middle, middle.nextUp, middle.nextDown][Int(bits % 3)])"
        case 4: return "\(Double(bitPattern: UInt64(bits) << 35 | random.next() >> 29).remainder(dividingBy: 3))"
        case 5: return "\(random.next())e-\(bits % 45)"
        case 6: return "\(bits % 1_000).\(random.next() % 1_000_000_000_000_000_000)e\(Int(bits % 50) - 25)"
        default: return "-0.000\(bits)"
        }
    }

    @Test func theBitsOfStrtof() throws {
        let seed: UInt64 = 19_022
        var random = SeededRandom(seed: seed)
        let folder = try TemporaryFolder()
        let spellings = (0..<(TestFiles.isRelease ? 100_000 : 8_000)).map { Self.spelling($0, &random) }.filter {
            Float($0)?.isFinite == true
        }
        let width = 100
        let rows = spellings.count / width
        let text = (0..<rows).map { row in
            "r\(row)," + spellings[row * width..<(row + 1) * width].joined(separator: ",") + "\n"
        }
        let read = try ReadFile(try folder.write("x.csv", text.joined())).rows
        #expect(read.count == rows)
        var wrong = 0
        for (spelling, value) in zip(spellings, read.joined()) where Float(spelling)?.bitPattern != value.bitPattern {
            wrong += 1
            if wrong < 10 { Issue.record("\(spelling) gave \(value), seed \(seed)") }
        }
        #expect(wrong == 0)
        print("theBitsOfStrtof: seed \(seed), \(rows * width) numbers, \(wrong) wrong")
    }
}
