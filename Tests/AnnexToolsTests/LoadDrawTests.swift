import AnnexCore
import AnnexTestSupport
import AnnexTools
import Foundation
import Testing

@Suite struct LoadDrawTests {
    @Test(arguments: [(1, 1.0), (2, 0), (10, 1), (1_000, 1), (1_000, 0), (1_000, 0.7), (50, 3), (1_000, 10)])
    func zipfDrawsByTheFormula(count: Int, exponent: Double) {
        let seed: UInt64 = 20_262
        var random = SeededRandom(seed: seed)
        let draws = 400_000
        let zipf = WeightedDraw.zipf(count: count, exponent: exponent)
        var seen = [Int](repeating: 0, count: count)
        for _ in 0..<draws { seen[zipf.draw(random.next())] += 1 }
        let sum = (1...count).reduce(0) { $0 + pow(Double($1), -exponent) }
        for rank in 1...count {
            let share = pow(Double(rank), -exponent) / sum
            let wanted = share * Double(draws)
            // Six standard deviations of a binomial count: none of these thousands is outside by chance.
            let slack = 6 * (wanted * (1 - share)).squareRoot() + 1
            #expect(abs(Double(seen[rank - 1]) - wanted) <= slack, "rank \(rank), exponent \(exponent), seed \(seed)")
        }
    }

    @Test func weightsOfZeroAreNeverDrawn() {
        var random = SeededRandom(seed: 3)
        let draw = WeightedDraw(weights: [0, 3, 0, 1, 0])
        var seen = [Int](repeating: 0, count: 5)
        for _ in 0..<100_000 { seen[draw.draw(random.next())] += 1 }
        #expect(seen[0] + seen[2] + seen[4] == 0)
        #expect(abs(Double(seen[1]) / 100_000 - 0.75) < 0.01)
        // The ends of what 64 bits can be.
        #expect((0..<5).contains(draw.draw(.min)) && (0..<5).contains(draw.draw(.max)))
    }

    @Test func mixesReadBackAsWritten() throws {
        let mix = try LoadMix(parsing: "topk=90,VSIM=5,Ping=5")
        #expect(mix.text == "TOPK=90,VSIM=5,PING=5" && mix.has(.topk) && mix.has(.ping))
        #expect(try LoadMix(parsing: mix.text) == mix)
        #expect(try LoadMix(parsing: "PING").text == "PING" && LoadMix(parsing: "PING=7").text == "PING")
    }

    @Test(arguments: [
        "", "GET", "TOPK=0", "TOPK=-1", "TOPK=x", "TOPK=", "TOPK,TOPK", "PING,", "PING=1000001", "PING=1=2",
    ])
    func wrongMixesAreRefused(text: String) {
        let error = #expect(throws: AnnexError.self) { try LoadMix(parsing: text) }
        #expect(error?.code == .usage && error?.hint != nil)
    }

    @Test func whatACommandIsAboutMustBeThere() throws {
        var subjects = LoadRequests.Subjects()
        #expect(throws: AnnexError.self) { try LoadRequests(LoadMix(parsing: "TOPK"), subjects) }
        subjects.items = [Array("i".utf8)]
        #expect(throws: AnnexError.self) { try LoadRequests(LoadMix(parsing: "VSIM"), subjects) }
        subjects.index = Array("shop".utf8)
        _ = try LoadRequests(LoadMix(parsing: "VSIM,PING"), subjects)
    }
}
