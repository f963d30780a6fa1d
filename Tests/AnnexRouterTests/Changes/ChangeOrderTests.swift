import AnnexCore
import AnnexRouter
import Testing

@Suite struct ChangeOrderTests {
    private static let event = ChangeSubject(.event(time: 5), user: 1, item: 1)

    /// Which changes may be under way together with an event of user 1 with item 1 at 5.
    @Test(arguments: [
        (ChangeSubject(.event(time: 5), user: 1, item: 1), false), (.init(.event(time: 6), user: 1, item: 1), true),
        (.init(.event(time: nil), user: 1, item: 1), true), (.init(.event(time: 5), user: 1, item: 2), true),
        (.init(.event(time: 5), user: 2, item: 1), true), (.init(.remove, user: 1, item: 1), false),
        (.init(.remove, user: 1, item: 2), true), (.init(.forget, user: 1), false), (.init(.forget, user: 2), true),
    ]) func whatCommutes(_ other: ChangeSubject, _ expected: Bool) {
        #expect(Self.event.commutes(with: other) == expected)
        #expect(other.commutes(with: Self.event) == expected)
        var order = ChangeOrder<String>()
        let first = order.begin(Self.event)
        #expect(first != nil && (order.begin(other) != nil) == expected)
    }

    @Test func whoWaitsGoesInTheOrderOfComing() throws {
        var order = ChangeOrder<String>()
        let begun = order.begin(Self.event)
        let first = try #require(begun)
        let forget = ChangeSubject(.forget, user: 1)
        #expect(order.begin(forget) == nil)
        order.hold(forget, "forget")
        // It would be free but for what waits before it.
        let other = ChangeSubject(.event(time: 9), user: 1, item: 7)
        #expect(order.begin(other) == nil)
        order.hold(other, "event")
        #expect(order.begin(ChangeSubject(.event(time: 9), user: 2, item: 7)) != nil)
        #expect(order.next() == nil)
        order.end(first)
        let next = order.next()
        let second = try #require(next)
        #expect(second.held == "forget" && order.next() == nil)
        order.end(second.ticket)
        order.end(second.ticket)
        #expect(order.next()?.held == "event" && order.waitingCount == 0)
    }

    /// Two that do not commute are never under way together, and go in the order of their coming; none waits for ever.
    @Test func anyCourse() {
        var random = SeededRandom(seed: 20_261_130)
        for _ in 0..<300 {
            var order = ChangeOrder<Int>()
            var subjects: [ChangeSubject] = []
            var underWay: [(ticket: UInt64, number: Int)] = []
            var begun: [Int] = []
            func start(_ ticket: UInt64, _ number: Int) {
                for other in underWay { #expect(subjects[other.number].commutes(with: subjects[number])) }
                for later in begun where later > number { #expect(subjects[later].commutes(with: subjects[number])) }
                underWay.append((ticket, number))
                begun.append(number)
            }
            while begun.count < 60 {
                if subjects.count < 60, random.below(2) == 0 {
                    let kinds: [ChangeSubject.Kind] = [.event(time: 1), .event(time: nil), .remove, .forget]
                    subjects.append(
                        ChangeSubject(kinds[random.below(4)], user: random.below(3), item: random.below(2))
                    )
                    let number = subjects.count - 1
                    if let ticket = order.begin(subjects[number]) {
                        start(ticket, number)
                    } else {
                        order.hold(subjects[number], number)
                    }
                } else if !underWay.isEmpty {
                    order.end(underWay.remove(at: random.below(underWay.count)).ticket)
                    while let (ticket, number) = order.next() { start(ticket, number) }
                }
            }
            #expect(order.waitingCount == 0)
        }
    }
}
