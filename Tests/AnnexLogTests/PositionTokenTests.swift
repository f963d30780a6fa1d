import AnnexCore
import Testing

@Suite struct PlaceTests {
    @Test func aPlaceIsReadBackAsItWasWritten() throws {
        let name = try #require(EntryName("shop.v2-x"))
        for (block, position) in [(0, LogPosition.start), (7, LogPosition(milliseconds: .max, sequence: .max))] {
            for log in [nil, LogIdentity(high: 0, low: 1), LogIdentity(high: .max, low: .max)] {
                let token = PositionToken(index: name, block: block, position: position, log: log)
                #expect(PositionToken("\(token)".utf8) == token)
            }
        }
        #expect(
            "\(PositionToken(index: name, block: 7, position: LogPosition(milliseconds: 17, sequence: 3), log: nil))"
                == "shop.v2-x:07:17-3"
        )
        let log = LogIdentity(high: 0xab, low: 1)
        #expect(
            "\(PositionToken(index: name, block: 7, position: LogPosition(milliseconds: 17, sequence: 3), log: log))"
                == "shop.v2-x:07:17-3:00000000000000ab0000000000000001"
        )
    }

    @Test(arguments: [
        "", "shop", "shop:07", "shop:7:1-1", "shop:16:1-1", "shop:-1:1-1", "shop:07:1", "shop:07:1-", "shop:07:-1",
        "shop:07:+1-1", "shop:07:1-1-1", ":07:1-1", "shop:07:1-1:", "sh op:07:1-1", "shop:07:18446744073709551616-0",
        "shop:0x:1-1", "../x:07:1-1", "shop:07:1-1:00000000000000ab000000000000000", "shop:07:1-1:abc",
        "shop:07:1-1:00000000000000AB0000000000000001", "shop:07:1-1:+0000000000000ab0000000000000001",
        "shop:07:1-1:00000000000000ab0000000000000001:",
    ]) func whatIsNoPlaceIsNone(text: String) {
        #expect(PositionToken(text.utf8) == nil)
    }

    @Test func positionsAreOrderedByTimeThenCount() {
        let texts = ["0-0", "0-1", "1-0", "1-18446744073709551615", "2-0", "10-0"]
        let positions = texts.compactMap { LogPosition($0.utf8) }
        #expect(positions.count == texts.count)
        #expect(positions == positions.shuffled().sorted())
    }
}
