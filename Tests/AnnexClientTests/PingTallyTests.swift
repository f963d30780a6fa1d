import AnnexClient
import AnnexTestSupport
import Testing

@Suite struct PingTallyTests {
    @Test func outAfterThreeMissesAndBackAfterTwoAnswers() {
        var tally = PingTally()
        func add(_ answers: [Bool]) -> [Bool] { answers.map { tally.add(answered: $0) } }
        #expect(add([true, false, false, true, false, false]) == Array(repeating: false, count: 6))
        #expect(tally.isWell, "never three in a row")
        #expect(add([false]) == [true] && !tally.isWell)
        #expect(add([false, true, false, true]) == Array(repeating: false, count: 4))
        #expect(!tally.isWell, "never two in a row")
        #expect(add([true]) == [true] && tally.isWell)
    }
}
